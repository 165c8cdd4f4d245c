//! What form a body is in: the `Content-Type` header.

use http::{HeaderMap, header};

use crate::apiserver::status::Status;

/// A form that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// What a refusal names.
const READ: [&str; 2] = ["application/json", "application/yaml"];

/// The form of the body; JSON where nothing is said. Parameters mean nothing.
pub(super) fn of_body(headers: &HeaderMap) -> Result<Media, Status> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Media::Json);
    };
    let text = value.to_str().unwrap_or("?");
    let kind = text.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "" if text.is_empty() => Ok(Media::Json),
        "application/json" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        _ => Err(Status::unsupported_media_type(&READ)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_are_read_and_nothing_said_is_json() {
        for (value, media) in [
            (None, Some(Media::Json)),
            (Some(""), Some(Media::Json)),
            (Some("application/json"), Some(Media::Json)),
            (Some("Application/JSON; charset=utf-8"), Some(Media::Json)),
            (Some("application/yaml"), Some(Media::Yaml)),
            (Some("text/plain"), None),
            (Some("application/vnd.kubernetes.protobuf"), None),
            (Some("application/x-www-form-urlencoded"), None),
            (Some("; charset=utf-8"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(of_body(&headers).ok(), media, "{value:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        let refusal = of_body(&headers).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason),
            (415, "UnsupportedMediaType")
        );
        assert_eq!(
            refusal.message,
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml"
        );
    }
}
