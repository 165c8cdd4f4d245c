//! Lists: which state, which page, and the body in chunks.
//!
//! A list is written from one snapshot as it is sent; memory holds one chunk of it. Where a page ends must be known
//! before it begins (the metadata comes first): that is counted, not written.

mod body;
mod page;

use http::Response;

use self::body::Body;
use self::page::Page;
use crate::apiserver::continue_token::Token;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::{Form, Negotiated};
use crate::apiserver::query::{ListOptions, Match, Query};
use crate::apiserver::resources::Tags;
use crate::apiserver::response::{Payload, Refusal, streamed};
use crate::apiserver::status::Status;
use crate::apiserver::table::Table;
use crate::apiserver::walk::{Place, Walk};
use crate::image::Tag;
use crate::store::{ResourceVersion, Snapshot};

const EXPIRED: &str = "The resourceVersion for the provided list is too old.";
const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You \
    can start a new list without the continue parameter, or use the continue token in this response to retrieve the \
    remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were \
    created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// How the items are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rendering {
    Objects,
    Partial(crate::apiserver::negotiate::MetaVersion),
    Table(Table),
}

/// Answers a list of `namespace` (`None`: of all).
pub(super) async fn list(
    tags: &Tags,
    kind: Kind,
    namespace: Option<&str>,
    query: &Query,
    negotiated: Negotiated,
) -> Result<Response<Payload>, Refusal> {
    let options = query.list_options(kind)?;
    let rendering = match negotiated.form {
        Form::Objects => Rendering::Objects,
        Form::Partial(version) => Rendering::Partial(version),
        Form::Table(version) => Rendering::Table(Table {
            version,
            include: query.include_object()?,
            now: tags.clock().now(),
        }),
    };
    let token = match &options.continue_token {
        Some(text) => Some(decode(text, kind, namespace.is_none())?),
        None => None,
    };
    let snapshot = snapshot(tags, &options, token.as_ref()).await?;
    let place = token.as_ref().map(|token| Place {
        namespace: token.namespace.clone(),
        name: token.name.clone(),
    });
    let walk = || {
        Walk::new(
            kind,
            &snapshot,
            namespace,
            options.selection.clone(),
            place.as_ref(),
        )
    };
    let version = snapshot.resource_version();
    let page = match options.limit {
        Some(limit) => Page::find(walk(), limit, namespace, version).await,
        None => Page::unlimited(),
    };
    if page.goes_on() {
        tags.recent().keep(&snapshot);
    }
    let body = Body::new(kind, rendering, negotiated.pretty, version, page, walk());
    Ok(streamed(body.into_payload().await, negotiated))
}

/// A token is only good for the kind whose names it holds.
fn decode(text: &str, kind: Kind, all_namespaces: bool) -> Result<Token, Status> {
    let token = Token::decode(text, all_namespaces)
        .map_err(|error| Status::bad_request(error.to_string()))?;
    let fits = match kind {
        Kind::ImageTag => token
            .name
            .split_once(':')
            .is_some_and(|(_, tag)| tag.parse::<Tag>().is_ok()),
        Kind::TagSet => !token.name.contains(':'),
    };
    if fits {
        Ok(token)
    } else {
        Err(Status::bad_request(
            "invalid continue token: continue key is not valid",
        ))
    }
}

/// The state that the options ask for.
async fn snapshot(
    tags: &Tags,
    options: &ListOptions,
    token: Option<&Token>,
) -> Result<Snapshot, Refusal> {
    if let Some(token) = token {
        let Some(version) = token.version else {
            return Ok(tags.store().snapshot());
        };
        return exactly(tags, version).ok_or_else(|| {
            let fresh = Token {
                version: None,
                ..token.clone()
            };
            Refusal {
                status: Status::expired(CONTINUE_EXPIRED),
                continue_token: Some(fresh.encode()),
            }
        });
    }
    match options.at {
        None => Ok(tags.store().snapshot()),
        Some((version, Match::NotOlderThan)) => {
            tags.wait_for(version).await?;
            Ok(tags.store().snapshot())
        }
        Some((version, Match::Exact)) => {
            tags.wait_for(version).await?;
            exactly(tags, version).ok_or_else(|| Status::expired(EXPIRED).into())
        }
    }
}

/// The state at `version`: the newest one, one that a list under way keeps, or what it was according to the history.
fn exactly(tags: &Tags, version: ResourceVersion) -> Option<Snapshot> {
    let kept = tags.recent().at(version);
    kept.or_else(|| tags.store().snapshot_at(version))
}
