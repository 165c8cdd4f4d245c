//! How long ago, for people: two or three significant figures, by the thresholds of
//! `k8s.io/apimachinery/pkg/util/duration`.

use jiff::SignedDuration;

use crate::apiserver::json::Json;

/// Writes `5s`, `3m20s`, `4h`, `12d`, `2y35d`; a moment up to two seconds ahead is now.
pub(super) fn write(json: &mut Json, age: SignedDuration) {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let mut one = |number: i64, unit| {
        json.number(number).raw(unit);
    };
    match seconds {
        ..=-2 => {
            json.raw("<invalid>");
        }
        -1 => one(0, "s"),
        0..120 => one(seconds, "s"),
        _ if minutes < 10 => pair(json, minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => one(minutes, "m"),
        _ if hours < 8 => pair(json, hours, "h", minutes % 60, "m"),
        _ if hours < 48 => one(hours, "h"),
        _ if hours < 192 => pair(json, days, "d", hours % 24, "h"),
        _ if years < 2 => one(days, "d"),
        _ if years < 8 => pair(json, years, "y", days % 365, "d"),
        _ => one(years, "y"),
    }
}

fn pair(json: &mut Json, large: i64, large_unit: &str, small: i64, small_unit: &str) {
    json.number(large).raw(large_unit);
    if small != 0 {
        json.number(small).raw(small_unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_users_know_them() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let rows = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (10 * minute, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 20 * minute, "3h20m"),
            (8 * hour, "8h"),
            (48 * hour - 1, "47h"),
            (48 * hour, "2d"),
            (49 * hour, "2d1h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (765 * day, "2y35d"),
            (8 * 365 * day, "8y"),
        ];
        for (seconds, expected) in rows {
            let mut json = Json::new();
            write(&mut json, SignedDuration::from_secs(seconds));
            assert_eq!(json.take(), expected.as_bytes(), "{seconds}");
        }
    }
}
