//! What the token server answers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::Shared;
use super::answers::{Body, error, json, redirect, unauthorized, whole};
use super::faults::Fault;
use super::listener::Connection;
use super::log::Request;
use super::state::Auth;

/// Answers one request to the token server.
pub(super) async fn answer(
    connection: &Connection,
    shared: &Shared,
    request: hyper::Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
    else {
        return error(StatusCode::BAD_REQUEST, "UNKNOWN", "the request broke off");
    };
    let fault = {
        let mut state = shared.state.lock();
        state.log.push(Request::of(
            connection.listener,
            connection.has_certificate,
            &parts,
        ));
        state.token_faults.pop_front()
    };
    // A moment in which others come for the same token.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    match fault {
        None => {}
        Some(Fault::Json(body)) => return json(StatusCode::OK, body),
        Some(Fault::Html) => return whole(StatusCode::OK, "<html>sign in</html>".into()),
        Some(Fault::Status(status)) => {
            return error(
                StatusCode::from_u16(status).unwrap(),
                "UNKNOWN",
                "told to fail",
            );
        }
        Some(Fault::RateLimited(retry_after)) => {
            let mut answer = error(
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "slow down",
            );
            if let Some(retry_after) = retry_after {
                answer
                    .headers_mut()
                    .insert(http::header::RETRY_AFTER, retry_after.parse().unwrap());
            }
            return answer;
        }
        Some(Fault::EndlessJson) => return whole(StatusCode::OK, vec![b' '; 1 << 20].into()),
        Some(Fault::Redirect(target)) => return redirect(&target),
        Some(Fault::Echo) => {
            let sent = parts
                .headers
                .get(AUTHORIZATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            return unauthorized(None, &format!("you sent {sent}"));
        }
        Some(other) => panic!("the token server has no such fault: {other:?}"),
    }
    let given: Vec<(String, String)> = if parts.method == Method::POST {
        url::form_urlencoded::parse(&body).into_owned().collect()
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
    let mut state = shared.state.lock();
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
    let scope = value("scope").unwrap_or_default().to_owned();
    let token = state.give_token(&scope);
    json(
        StatusCode::OK,
        serde_json::json!({"token": token, "access_token": token, "expires_in": 300}).to_string(),
    )
}
