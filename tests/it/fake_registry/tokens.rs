//! What the token server answers.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;

use super::Shared;
use super::access;
use super::faults::{Fault, scripted};
use super::listener::Connection;
use super::log::Request;
use super::meter::{Intake, Ticket};
use super::options::Auth;
use super::replies::{Body, error, json, redirect, refusal, unauthorized, whole};
use super::state::State;

/// Answers one request to the token server.
pub(super) async fn answer(
    connection: &Connection,
    shared: &Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let entry = Request::of(connection.listener, connection.has_certificate, &parts);
    let (ticket, fault) = {
        let mut state = shared.state.lock();
        let number = state.book.begin(entry.clone());
        access::remember(&mut state, &parts.headers);
        let fault = state
            .token_faults
            .pop_front()
            .or_else(|| scripted(&mut state.scripts, false, &entry.method, &entry.place()));
        (Ticket::new(shared, number, entry.route), fault)
    };
    let mut intake = Intake::new(body, &ticket, &connection.wants_reset, fault.as_ref());
    let body = intake.whole().await?;
    // A moment in which others come for the same token.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let answer = match fault {
        None => grant(&mut shared.state.lock(), &parts, &body),
        Some(fault) => ill(fault, &parts),
    };
    Ok(ticket.stamp(answer))
}

fn ill(fault: Fault, parts: &http::request::Parts) -> Response<Body> {
    match fault {
        Fault::Json(body) => json(StatusCode::OK, body),
        Fault::Html => whole(StatusCode::OK, "<html>sign in</html>".into()),
        Fault::Status(status) => refusal(status, "UNKNOWN", "told to fail"),
        Fault::RateLimited(retry_after) => {
            let mut answer = refusal(429, "TOOMANYREQUESTS", "slow down");
            if let Some(retry_after) = retry_after {
                answer
                    .headers_mut()
                    .insert(http::header::RETRY_AFTER, retry_after.parse().unwrap());
            }
            answer
        }
        Fault::EndlessJson => whole(StatusCode::OK, vec![b' '; 1 << 20].into()),
        Fault::Redirect(target) => redirect(&target),
        Fault::Echo => {
            let sent = parts
                .headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            unauthorized(None, &format!("you sent {sent}"))
        }
        other => panic!("the token server has no such fault: {other:?}"),
    }
}

/// A token, for whoever is known.
fn grant(state: &mut State, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
    let given: Vec<(String, String)> = if parts.method == Method::POST {
        url::form_urlencoded::parse(body).into_owned().collect()
    } else {
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect()
    };
    let value = |name: &str| {
        given
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let sent = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Auth::Bearer {
        username,
        password,
        identity_token,
        anonymous,
    } = &state.auth
    else {
        return error(
            StatusCode::NOT_FOUND,
            "UNSUPPORTED",
            "no tokens are given here",
        );
    };
    let knows = if parts.method == Method::POST {
        value("grant_type") == Some("refresh_token")
            && identity_token.is_some()
            && value("refresh_token") == identity_token.as_deref()
    } else {
        match sent {
            None => *anonymous,
            Some(sent) => {
                sent == format!(
                    "Basic {}",
                    BASE64_STANDARD.encode(format!("{username}:{password}"))
                )
            }
        }
    };
    if !knows || value("service") != Some("fake") {
        return unauthorized(None, "incorrect username or password");
    }
    let is_anonymous = parts.method != Method::POST && sent.is_none();
    let wanted: Vec<&str> = given
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, value)| value.split(' '))
        .collect();
    let grants = state.options.token_grants.as_deref();
    let may = |action: &str| {
        (!is_anonymous || action != "push" && action != "delete")
            && grants.is_none_or(|grants| grants.contains(&action))
    };
    let scope: Vec<String> = wanted
        .into_iter()
        .map(|one| match one.rsplit_once(':') {
            None => one.to_owned(),
            Some((what, actions)) => {
                let given: Vec<&str> = actions.split(',').filter(|one| may(one)).collect();
                format!("{what}:{}", given.join(","))
            }
        })
        .collect();
    let lifetime = state.options.token_lifetime;
    let says = state
        .options
        .token_says
        .unwrap_or_else(|| i64::try_from(lifetime.as_secs()).unwrap());
    let token = state.give_token(&scope.join(" "), lifetime);
    json(
        StatusCode::OK,
        serde_json::json!({"token": token, "access_token": token, "expires_in": says}).to_string(),
    )
}
