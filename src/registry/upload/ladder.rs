//! Which way a registry takes bytes, and what its answers mean for that. Decides only: no request is made here.

use http::StatusCode;

/// A way to hand a blob over, the shortest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Rung {
    /// One PUT with everything.
    Put,
    /// One PATCH with everything, and an empty PUT.
    Patch,
    /// PATCHes with a Content-Range each, and an empty PUT.
    Chunks,
}

/// The rungs one blob has tried; each is tried once.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Ladder {
    current: Rung,
    tried: Vec<Rung>,
}

impl Ladder {
    pub(in crate::registry) fn from(start: Rung) -> Self {
        Self {
            current: start,
            tried: vec![start],
        }
    }

    pub(in crate::registry) fn current(&self) -> Rung {
        self.current
    }

    /// Steps to the next rung that was not tried, the first one coming after the last; false: there is none.
    pub(in crate::registry) fn step(&mut self) -> bool {
        let order = match self.current {
            Rung::Put => [Rung::Patch, Rung::Chunks],
            Rung::Patch => [Rung::Chunks, Rung::Put],
            Rung::Chunks => [Rung::Put, Rung::Patch],
        };
        match order.into_iter().find(|rung| !self.tried.contains(rung)) {
            Some(next) => {
                self.tried.push(next);
                self.current = next;
                true
            }
            None => false,
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Step {
    /// PUT with the whole blob.
    Whole,
    /// PATCH with all of it or with a chunk.
    Piece,
    /// The empty PUT at the end, after so many PATCHes.
    End {
        /// How many.
        pieces: u32,
    },
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Verdict {
    /// It did what was asked.
    Taken,
    /// Whether the blob is there has to be asked; if it is not, a new session.
    Unclear,
    /// How much arrived has to be asked; the rest is sent then.
    AskSession,
    /// The registry does not take blobs in this way.
    OtherRung,
    /// The session is gone: a new one.
    Lost,
    /// Not now.
    Wait,
    /// No, and not later.
    Refused,
}

/// Weighs an answer to the bytes. `codes`: of the error document, in upper case.
pub(in crate::registry) fn judge(step: Step, status: StatusCode, codes: &[String]) -> Verdict {
    let says = |names: &[&str]| codes.iter().any(|code| names.contains(&code.as_str()));
    let unclear = match step {
        Step::Whole | Step::End { .. } => Verdict::Unclear,
        Step::Piece => Verdict::AskSession,
    };
    match status.as_u16() {
        200 | 201 | 204 => Verdict::Taken,
        202 if step == Step::Piece => Verdict::Taken,
        // Accepted is not there yet.
        202..300 => unclear,
        _ if says(&["NAME_UNKNOWN", "NAME_INVALID", "DENIED", "UNAUTHORIZED"]) => Verdict::Refused,
        400 if says(&["DIGEST_INVALID", "SIZE_INVALID"]) => match step {
            // Some registries keep the last chunk only.
            Step::End { pieces } if pieces > 1 => Verdict::OtherRung,
            Step::Piece => Verdict::OtherRung,
            Step::Whole | Step::End { .. } => Verdict::Refused,
        },
        400 | 405 | 411 | 413 | 501 => Verdict::OtherRung,
        404 => match step {
            // The first of two ends may have been heard, and its answer lost.
            Step::End { .. } => Verdict::Unclear,
            Step::Whole | Step::Piece => Verdict::Lost,
        },
        416 => match step {
            Step::Piece => Verdict::AskSession,
            Step::Whole | Step::End { .. } => Verdict::Lost,
        },
        429 => Verdict::Wait,
        408 | 500..600 => unclear,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rung_is_tried_once() {
        for (start, rest) in [
            (Rung::Put, [Rung::Patch, Rung::Chunks]),
            (Rung::Patch, [Rung::Chunks, Rung::Put]),
            (Rung::Chunks, [Rung::Put, Rung::Patch]),
        ] {
            let mut ladder = Ladder::from(start);
            assert_eq!(ladder.current(), start);
            for rung in rest {
                assert!(ladder.step());
                assert_eq!(ladder.current(), rung);
            }
            assert!(!ladder.step());
        }
    }

    #[test]
    fn fault_17_and_18_answers_to_bytes() {
        use Step::{End, Piece, Whole};
        use Verdict::{AskSession, Lost, OtherRung, Refused, Taken, Unclear, Wait};
        let one = End { pieces: 1 };
        let many = End { pieces: 2 };
        for (step, status, code, verdict) in [
            (Whole, 201, "", Taken),
            (Whole, 204, "", Taken),
            (Whole, 202, "", Unclear),
            (Whole, 413, "", OtherRung),
            (Whole, 411, "", OtherRung),
            (Whole, 405, "UNSUPPORTED", OtherRung),
            (Whole, 400, "", OtherRung),
            (Whole, 400, "CONTENT_LENGTH_INVALID", OtherRung),
            (Whole, 400, "DIGEST_INVALID", Refused),
            (Whole, 400, "SIZE_INVALID", Refused),
            (Whole, 404, "BLOB_UPLOAD_UNKNOWN", Lost),
            (Whole, 404, "NAME_UNKNOWN", Refused),
            (Whole, 403, "DENIED", Refused),
            (Whole, 403, "", Refused),
            (Whole, 409, "", Refused),
            (Whole, 429, "", Wait),
            (Whole, 500, "", Unclear),
            (Whole, 503, "", Unclear),
            (Piece, 201, "", Taken),
            (Piece, 202, "", Taken),
            (Piece, 204, "", Taken),
            (Piece, 416, "", AskSession),
            (Piece, 404, "BLOB_UPLOAD_UNKNOWN", Lost),
            (Piece, 502, "", AskSession),
            (Piece, 413, "", OtherRung),
            (Piece, 400, "SIZE_INVALID", OtherRung),
            (one, 201, "", Taken),
            (one, 404, "BLOB_UPLOAD_UNKNOWN", Unclear),
            (one, 400, "DIGEST_INVALID", Refused),
            (many, 400, "DIGEST_INVALID", OtherRung),
            (one, 502, "", Unclear),
            (one, 418, "", Refused),
            (Whole, 307, "", Refused),
        ] {
            let codes = [code.to_owned()];
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                judge(step, status, &codes),
                verdict,
                "{step:?} {status} {code}"
            );
        }
    }
}
