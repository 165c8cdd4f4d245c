//! The cluster adapter: everything that is asked of, or told to, kube-apiserver on behalf of the controllers.
//!
//! It knows how to connect ([`connect`]), to wait for our CRDs ([`crds`]), to follow a kind ([`index`],
//! [`watch`]), to read what an object refers to ([`read`], [`secrets`]), to write a status ([`patch`]), to publish Events
//! ([`event`]), to keep the store's epoch in a Lease ([`epoch`]) and a mirror's belongings in ConfigMaps ([`ledger`]), and to learn
//! who may act at all ([`lease`]). It decides nothing about images, and nobody else constructs a `kube::Client`.

pub mod connect;
pub mod crds;
pub mod delegated;
pub mod epoch;
pub mod event;
pub mod index;
pub mod lease;
pub mod ledger;
pub mod patch;
pub mod read;
pub mod secrets;
pub mod serving_cert;
pub mod watch;

/// Why something asked of kube-apiserver was not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object does not exist. The text is the API server's own, e.g. `secrets "regcred" not found`.
    #[error("{message}")]
    NotFound {
        /// The API server's message.
        message: String,
    },
    /// The rights for it are missing. The text is the API server's own, and names user, verb and resource.
    #[error("{message}")]
    Forbidden {
        /// The API server's message.
        message: String,
    },
    /// Somebody else wrote the object in between.
    #[error("{message}")]
    Conflict {
        /// The API server's message.
        message: String,
    },
    /// The API server refused for any other reason. The text is its own.
    #[error("{message}")]
    Refused {
        /// The API server's message.
        message: String,
        /// The HTTP status code.
        code: u16,
    },
    /// What should be written cannot be put into JSON.
    #[error("failed to encode what should be written")]
    Encode {
        /// What is in the way.
        source: serde_json::Error,
    },
    /// No answer was had, or none that could be understood.
    #[error("failed to reach kube-apiserver")]
    Request {
        /// What went wrong on the way.
        source: Box<kube::Error>,
    },
}

/// An API server's refusal keeps its words, because users know them; everything else keeps its cause.
impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let message = if status.message.is_empty() {
                    status.reason.clone()
                } else {
                    status.message.clone()
                };
                match status.code {
                    404 => Self::NotFound { message },
                    403 => Self::Forbidden { message },
                    409 => Self::Conflict { message },
                    code => Self::Refused { message, code },
                }
            }
            other => Self::Request {
                source: Box::new(other),
            },
        }
    }
}

/// The text of an error with its causes, outermost first, leaving out a cause that the text before it already says.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let refusal = refusal(error);
        let said = refusal.map_or_else(|| error.to_string(), |status| status.message.clone());
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = if refusal.is_some() {
            None
        } else {
            error.source()
        };
    }
    text
}

/// An API server's refusal as the client library wraps it, which prints it with all its parts.
fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::core::Status> {
    let boxed = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match boxed.or_else(|| error.downcast_ref::<kube::Error>()) {
        Some(kube::Error::Api(status)) => Some(status),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_words_of_the_api_server() {
        let status = kube::core::Status::failure(r#"secrets "regcred" not found"#, "NotFound")
            .with_code(404);
        let error = Error::from(kube::Error::Api(Box::new(status)));
        assert!(matches!(error, Error::NotFound { .. }));
        assert_eq!(error.to_string(), r#"secrets "regcred" not found"#);
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("failed to write")]
        struct Write(#[source] Box<kube::Error>);
        let told = with_causes(&Outer(std::io::Error::other("refused")));
        assert_eq!(told, "outer: refused");
        let status = kube::core::Status::failure("the words of the API server", "Conflict");
        let told = with_causes(&Write(Box::new(kube::Error::Api(Box::new(status)))));
        assert_eq!(told, "failed to write: the words of the API server");
    }
}
