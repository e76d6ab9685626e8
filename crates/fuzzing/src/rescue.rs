//! What a rescue VM says, and what it is told.

use lifeboat_rescue::wire::{FRAME_BYTES_MAX, Reply, Request, read_frame};

/// A stream of frames, each read as an answer and as a request: what is understood is said again
/// in the same bytes.
pub(crate) fn frames(input: &[u8]) {
    let mut stream = input;
    let mut body = Vec::new();
    while read_frame(&mut stream, &mut body).is_ok() {
        assert!(body.len() <= FRAME_BYTES_MAX, "bodies have bounds");
        if let Ok(reply) = Reply::decode(&body) {
            let again = reply.encode();
            assert_eq!(Reply::decode(&again).as_ref(), Ok(&reply));
            // A list of volumes may be cut, other answers are canonical.
            assert!(again == body || matches!(reply, Reply::Volumes(_)));
        }
        if let Ok(request) = Request::decode(&body) {
            assert_eq!(request.encode(), body);
        }
    }
}
