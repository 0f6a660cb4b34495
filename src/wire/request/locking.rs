//! What a line says of locks: the fields of the commands that take them, release them and renew them.

use super::fields::{Field, Fields, Rejection};
use super::values::{Value, wrong};
use super::{
    Fit, LABEL_BYTES_MAX, Lock, LockMany, LockName, Named, Names, Operation, PRIORITY_MAX, Renewal, Revocation,
    SLOTS_MAX, Terms, Transfer,
};
use crate::time::Span;

pub(super) fn missing() -> Rejection {
    Rejection::invalid_request("name is missing")
}

/// The fields of [`Terms`], and `any`: all that a `lock` can have beyond its name, a timeout, `queue_max` and `fence`.
const OF_TERMS: [Field; 11] = [
    Field::Mode,
    Field::Slots,
    Field::Lease,
    Field::Any,
    Field::Priority,
    Field::Deadlock,
    Field::MinHold,
    Field::LostDelay,
    Field::Label,
    Field::Progress,
    Field::Hint,
];

/// Pairs of fields of which a `lock` can have one.
const EXCLUSIVE_PAIRS: [(Field, Field); 7] = [
    (Field::Slots, Field::Mode),
    (Field::Slots, Field::Names),
    (Field::Priority, Field::Names),
    (Field::MinHold, Field::Names),
    (Field::LostDelay, Field::Names),
    (Field::MinHold, Field::Slots),
    (Field::LostDelay, Field::Slots),
];

pub(super) fn lock<'a>(named: Named<'a>, fields: &Fields<'a>) -> Result<Operation<'a>, Rejection> {
    let timeout = fields.seconds(Field::Timeout)?;
    let queue_max = fields.whole(Field::QueueMax, 0..=u64::MAX, ", 0 or more")?;
    let fence = fields.truth(Field::Fence)?;
    let has_fence = fence == Some(true);
    let terms = OF_TERMS.iter().any(|field| fields.has(*field)).then(|| read_terms(fields)).transpose()?;
    let is_any = fields.truth(Field::Any)? == Some(true);
    match named {
        Named::Several(_) if is_any && fields.has(Field::Deadlock) => Err(excluded(Field::Deadlock, "any")),
        Named::Several(names) => {
            let terms = terms.unwrap_or_default();
            Ok(Operation::LockMany(LockMany { names, is_any, timeout, queue_max, has_fence, terms }))
        }
        Named::One(_) if is_any => Err(Rejection::invalid_request("any needs names")),
        Named::One(name) => {
            let is_plain = fence.is_none() && terms.is_none();
            let lock = Lock { name, timeout, queue_max, has_fence, is_plain };
            Ok(match terms {
                None => Operation::Lock(lock),
                Some(terms) => Operation::LockWith(lock, terms),
            })
        }
    }
}

fn read_terms<'a>(fields: &Fields<'a>) -> Result<Terms<'a>, Rejection> {
    let priority = fields.whole(Field::Priority, 0..=PRIORITY_MAX.into(), " from 0 to 7")?;
    let terms = Terms {
        fit: read_fit(fields)?,
        lease: read_lease(fields)?,
        priority: priority.map_or(0, |priority| u8::try_from(priority).expect("at most 7")),
        refuses_deadlock: fields.word(Field::Deadlock, &[("refuse", ())], r#"must be "refuse""#)?.is_some(),
        min_hold: read_closing(fields, Field::MinHold)?,
        lost_delay: read_closing(fields, Field::LostDelay)?,
        label: fields.text_within(Field::Label, LABEL_BYTES_MAX)?,
        has_progress: fields.truth(Field::Progress)?.unwrap_or(false),
        has_hint: fields.truth(Field::Hint)?.unwrap_or(false),
    };
    if let Some((field, other)) = EXCLUSIVE_PAIRS.iter().find(|(field, other)| fields.has(*field) && fields.has(*other))
    {
        return Err(excluded(*field, other.key()));
    }
    if terms.fit == Fit::Shared
        && let Some(field) = [Field::MinHold, Field::LostDelay].into_iter().find(|field| fields.has(*field))
    {
        return Err(excluded(field, "shared mode"));
    }
    match terms.fit {
        Fit::Shared if terms.has_hint => Err(excluded(Field::Hint, "shared mode")),
        Fit::Unit(_) if terms.has_hint => Err(excluded(Field::Hint, "slots")),
        _ => Ok(terms),
    }
}

pub(super) fn excluded(field: Field, other: &str) -> Rejection {
    wrong(field, &format!("is not possible with {other}"))
}

fn read_fit(fields: &Fields<'_>) -> Result<Fit, Rejection> {
    let modes = [("exclusive", Fit::Exclusive), ("shared", Fit::Shared)];
    let mode = fields.word(Field::Mode, &modes, r#"must be "exclusive" or "shared""#)?;
    let slots = fields.whole(Field::Slots, 1..=SLOTS_MAX.into(), " from 1 to 2147483648")?;
    let unit = slots.map(|slots| Fit::Unit(u32::try_from(slots).expect("at most 2^31")));
    Ok(unit.or(mode).unwrap_or_default())
}

fn read_lease(fields: &Fields<'_>) -> Value<Span> {
    fields.seconds_above_0(Field::Lease)
}

fn read_closing(fields: &Fields<'_>, field: Field) -> Result<Span, Rejection> {
    Ok(fields.closing_seconds(field)?.unwrap_or_default())
}

pub(super) fn unlock<'a>(named: Named<'a>, fields: &Fields<'a>) -> Result<Operation<'a>, Rejection> {
    let token = fields.token()?;
    Ok(match named {
        Named::One(name) => Operation::Unlock { name, token },
        Named::Several(names) => Operation::UnlockMany { names, token },
    })
}

pub(super) fn renew<'a>(named: Named<'a>, fields: &Fields<'a>) -> Result<Operation<'a>, Rejection> {
    let (lease, token) = (read_lease(fields)?, fields.token()?);
    let is_many = matches!(named, Named::Several(_));
    let names = match named {
        Named::One(name) => Names::one(name),
        Named::Several(names) => names,
    };
    Ok(Operation::Renew(Renewal { names, is_many, lease, token }))
}

pub(super) fn revoke<'a>(name: LockName<'a>, fields: &Fields<'a>) -> Result<Revocation<'a>, Rejection> {
    Ok(Revocation {
        name,
        token: fields.token()?,
        connection: fields.text(Field::Connection)?,
        owner: fields.id(Field::Owner)?,
    })
}

pub(super) fn transfer<'a>(name: LockName<'a>, fields: &Fields<'a>) -> Result<Transfer<'a>, Rejection> {
    Ok(Transfer { name, to: fields.text(Field::To)?, to_owner: fields.id(Field::ToOwner)?, token: fields.token()? })
}
