//! Which alarm an operator ends, and why.

use decision::{Alarm, Ask};

use super::Fields;

pub(super) fn read(fields: &mut Fields) -> Option<Ask> {
    let named = fields.required_text("alarm");
    let (named, reason) = named.zip(fields.required_text("reason"))?;
    let alarm = Alarm::ALL.into_iter().find(|alarm| alarm.word() == named);
    if alarm.is_none() {
        let words = Alarm::ALL.map(Alarm::word).join(" | ");
        fields.problem("alarm", format!("{named:?}"), words);
    }
    alarm.map(|alarm| Ask::Acknowledge { alarm, reason })
}
