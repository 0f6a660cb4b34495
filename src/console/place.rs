//! What listings say of a holder or a waiter, beyond who it is: nothing of one that is plain.

use crate::client::{Owner, PlaceDetail};

use super::shown::{Shown, Span};

/// An owner: a text that could be mistaken for a number is in quotes.
pub(crate) fn shown_owner(owner: &Owner) -> String {
    match owner {
        Owner::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("\"{text}\""),
        owner => Shown(&owner.to_string()).to_string(),
    }
}

/// `shared, owner ann, lease 4.2s left, 'nightly backup'`, counted on from when the server said so.
pub(crate) fn notes(place: &PlaceDetail, has_token: bool, seconds: f64) -> String {
    let mut notes = Vec::new();
    match (place.slots, place.mode.as_str()) {
        (Some(slots), _) => notes.push(format!("1 of {slots} units")),
        (None, "shared") => notes.push("shared".to_owned()),
        (None, _) => {}
    }
    notes.extend(place.priority.map(|priority| format!("priority {priority}")));
    notes.extend(place.owner.as_ref().map(|owner| format!("owner {}", shown_owner(owner))));
    notes.extend(place.token.filter(|_| has_token).map(|token| format!("token {token}")));
    notes.extend(place.lease_left.map(|left| format!("lease {} left", Span::of_seconds(left - seconds))));
    notes.extend(place.label.as_ref().map(|label| format!("'{}'", Shown(label))));
    notes.join(", ")
}

/// Of a session without a connection, for how much longer it can be resumed.
pub(crate) fn detached(seconds_left: f64) -> String {
    format!("disconnected, {} to resume", Span::of_seconds(seconds_left))
}

/// Of a lock that is neither held nor free, for how much longer it stays so.
pub(crate) fn closed(seconds_left: f64) -> String {
    format!("closed, {} left", Span::of_seconds(seconds_left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_place_has_no_notes_and_others_say_what_is_special() {
        let plain = PlaceDetail { mode: "exclusive".to_owned(), token: Some(7), ..PlaceDetail::default() };
        assert_eq!((notes(&plain, false, 0.0), notes(&plain, true, 0.0)), (String::new(), "token 7".to_owned()));
        let shared = PlaceDetail {
            mode: "shared".to_owned(),
            owner: Some("ann\n".into()),
            lease_left: Some(4.25),
            label: Some("a\tb".to_owned()),
            ..plain.clone()
        };
        assert_eq!(notes(&shared, true, 2.0), r"shared, owner ann\n, token 7, lease 2.2s left, 'a\tb'");
        let unit = PlaceDetail { slots: Some(3), priority: Some(5), mode: String::new(), ..plain };
        assert_eq!(notes(&unit, false, 0.0), "1 of 3 units, priority 5");
        assert_eq!([shown_owner(&7.into()), shown_owner(&"7".into()), shown_owner(&"".into())], ["7", "\"7\"", "\"\""]);
    }
}
