//! Which machine a name means: several platforms may have one of that name.

use lifeboat_api::escaped;
use lifeboat_scheduler::Overview;

use crate::refusal::Refusal;

/// Why there is no machine of a name, on a platform if one was said.
pub(crate) fn missing(name: &str, platform: Option<&str>) -> Refusal {
    Refusal::missing(match platform {
        Some(platform) => format!("platform \"{platform}\" has no machine \"{name}\""),
        None => format!("there is no machine \"{name}\""),
    })
}

/// The same, or why a name alone is not enough; the hint says where those of that name are.
pub(crate) fn refused(overview: &Overview, name: &str, platform: Option<&str>) -> Refusal {
    let found = overview.named(name, None);
    let refusal = match (platform, found.len()) {
        (None, several @ 2..) => {
            Refusal::invalid(format!("{several} platforms have a machine \"{name}\""))
        }
        _ => missing(name, platform),
    };
    let address = |platform: &str| {
        let (name, platform) = (escaped(name), escaped(platform));
        format!("/api/v1/machines/{name}?platform={platform}")
    };
    let addresses: Vec<_> = found.iter().map(|it| address(&it.platform)).collect();
    match addresses.is_empty() {
        true => refusal,
        false => refusal.with_hint(format!("ask for {}", addresses.join(" or "))),
    }
}
