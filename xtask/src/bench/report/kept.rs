//! What people wrote into the document.

const HEAD: (&str, &str) = ("<!-- written by hand: head -->", "<!-- end of the head -->");
const FOOT: (&str, &str) = ("<!-- written by hand: foot -->", "<!-- end of the foot -->");

/// The texts between the marks.
#[derive(Debug)]
pub(crate) struct Kept {
    head: String,
    foot: String,
}

impl Kept {
    /// Takes them out of a document; what is not there is empty.
    pub(crate) fn of(document: &str) -> Self {
        Self {
            head: between(document, HEAD).to_owned(),
            foot: between(document, FOOT).to_owned(),
        }
    }

    pub(crate) fn head(&self) -> String {
        framed(&self.head, HEAD) + "\n"
    }

    pub(crate) fn foot(&self) -> String {
        framed(&self.foot, FOOT)
    }
}

fn between<'a>(document: &'a str, (begin, end): (&str, &str)) -> &'a str {
    let inside = document.split_once(begin).map(|(_, rest)| rest);
    let inside = inside.and_then(|rest| rest.split_once(end));
    inside.map_or("", |(text, _)| text.trim_matches('\n'))
}

fn framed(text: &str, (begin, end): (&str, &str)) -> String {
    if text.is_empty() {
        return format!("{begin}\n{end}\n");
    }
    format!("{begin}\n\n{text}\n\n{end}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_by_hand_stays() {
        let empty = Kept::of("# Nothing of the kind\n");
        assert_eq!((empty.head.as_str(), empty.foot.as_str()), ("", ""));
        let document = empty
            .head()
            .replace("-->\n<!--", "-->\n\nA remark.\n\n<!--");
        let kept = Kept::of(&(document + &empty.foot()));
        assert_eq!(kept.head, "A remark.");
        assert_eq!(Kept::of(&kept.head()).head, "A remark.");
    }
}
