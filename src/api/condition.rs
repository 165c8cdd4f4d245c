//! Conditions, as kstatus and Flux's tooling read them.
//!
//! An object is done when its `status.observedGeneration` is its generation, Ready is there, and neither
//! Reconciling nor Stalled is. The rules of change are Flux's: a transition is any change of status, reason
//! or message; `observedGeneration` follows the object's generation without counting as one.

use jiff::Timestamp;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::crd;

/// The object is what its spec asks for.
pub const READY: &str = "Ready";
/// Work goes on; present only while it is true.
pub const RECONCILING: &str = "Reconciling";
/// No retry will help before the spec changes; present only while it is true.
pub const STALLED: &str = "Stalled";

/// Of a policy: what waits or is held, why, and until when; present only while there is such a thing.
pub const GOVERNED: &str = "Governed";

/// The reasons that conditions and events give, in Flux's words.
pub mod reason {
    /// Done.
    pub const SUCCEEDED: &str = "Succeeded";
    /// At it.
    pub const PROGRESSING: &str = "Progressing";
    /// At it again after a failure.
    pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
    /// Something went wrong that has no reason of its own.
    pub const FAILURE: &str = "Failure";
    /// A digest could not be fetched.
    pub const FAILED: &str = "Failed";
    /// The credentials could not be read.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The registry could not be read.
    pub const READ_OPERATION_FAILED: &str = "ReadOperationFailed";
    /// `spec.image` is no image name.
    pub const IMAGE_URL_INVALID: &str = "ImageURLInvalid";
    /// The referenced ImageRepository is not there, or has no tags yet.
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    /// The reference to another namespace is not allowed.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// The policy itself cannot be understood.
    pub const INVALID_POLICY: &str = "InvalidPolicy";
    /// The spec asks for something that cannot be.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Another mirror has the destination for something else.
    pub const DESTINATION_COLLISION: &str = "DestinationCollision";
    /// An interval is missing where one is due.
    pub const INTERVAL_NOT_CONFIGURED: &str = "IntervalNotConfigured";
    /// Tags could not be copied.
    pub const COPY_FAILED: &str = "CopyFailed";
    /// Tags are something else at a destination, and may not be overwritten.
    pub const DRIFTED: &str = "Drifted";
    /// A destination's registry does not let tags be moved.
    pub const BLOCKED_BY_IMMUTABILITY: &str = "BlockedByImmutability";
    /// The spec asks for something that a feature gate switches off.
    pub const FEATURE_GATE_DISABLED: &str = "FeatureGateDisabled";
}

/// A condition's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

impl Status {
    /// As it stands in the object.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The condition of this type.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == Status::True.as_str())
}

/// Whether the condition of this type is there and `False`.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == Status::False.as_str())
}

/// What is set at once: the object's generation and the present moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// `metadata.generation` of the object.
    pub generation: i64,
    /// Now; conditions keep whole seconds.
    pub now: Timestamp,
}

/// Sets a condition, keeping its `lastTransitionTime` unless its status, reason or message changed,
/// and keeps the list in [`sort`] order.
pub fn set(
    conditions: &mut Vec<Condition>,
    at: Moment,
    type_: &str,
    status: Status,
    reason: &str,
    message: &str,
) {
    let mut next = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(at.generation),
        last_transition_time: Time(whole_second(at.now)),
    };
    if let Some(held) = conditions
        .iter_mut()
        .find(|condition| condition.type_ == type_)
    {
        if held.status == next.status && held.reason == next.reason && held.message == next.message
        {
            next.last_transition_time = held.last_transition_time.clone();
        }
        *held = next;
    } else {
        conditions.push(next);
    }
    sort(conditions);
}

/// Removes the condition of this type.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// Says that work goes on: Reconciling becomes `True`, Stalled goes.
pub fn mark_reconciling(conditions: &mut Vec<Condition>, at: Moment, reason: &str, message: &str) {
    remove(conditions, STALLED);
    set(conditions, at, RECONCILING, Status::True, reason, message);
}

/// Says that no retry will help: Stalled becomes `True`, Reconciling goes.
pub fn mark_stalled(conditions: &mut Vec<Condition>, at: Moment, reason: &str, message: &str) {
    remove(conditions, RECONCILING);
    set(conditions, at, STALLED, Status::True, reason, message);
}

/// Stalled, Reconciling, Ready, then the others by name: what a person wants to read first goes first.
pub fn sort(conditions: &mut [Condition]) {
    conditions.sort_by(|a, b| {
        rank(&a.type_)
            .cmp(&rank(&b.type_))
            .then_with(|| a.type_.cmp(&b.type_))
    });
}

fn rank(type_: &str) -> u8 {
    match type_ {
        STALLED => 0,
        RECONCILING => 1,
        READY => 2,
        _ => 3,
    }
}

/// Conditions hold whole seconds; rounding down here makes a value equal to what is read back.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The schema of a list of conditions, with the limits that Kubernetes gives its own type.
pub(super) fn list_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "description": "One aspect of the object's state.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the status, the reason or the message last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What happened, for people. May be empty.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The generation of the spec that the condition speaks of.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "What happened, for programs: one word in CamelCase.",
                    "type": "string",
                    "maxLength": 1024,
                    "minLength": 1,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "The aspect: one word in CamelCase, optionally after a domain and a slash.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": crd::CONDITION_TYPE_PATTERN,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests;
