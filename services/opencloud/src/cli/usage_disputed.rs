//! What is disputed of the sums: beside them, since a bill that one side objects to is none yet.

use std::collections::BTreeMap;

use oc_kernel::Money;
use oc_proto::accounting::v1::UsageRecord;

use super::Context;
use super::ids::ShortIds;
use super::names::Names;
use super::output::hint;

/// Says for each grant whose books are disputed how much of the sums that is. Books are for operators: others are told
/// nothing.
pub(crate) async fn tell(context: &Context, names: &Names) {
    let compute = context.client.compute();
    let Ok(grants) = compute.grants(true).await else {
        return;
    };
    let Ok(own) = context.client.discovery().identity().await else {
        return;
    };
    let accounting = context.client.accounting();
    let short = ShortIds::of(grants.iter().map(|grant| grant.grant_id.as_str()));
    for grant in &grants {
        let Ok(books) = accounting.books(&grant.grant_id).await else {
            continue;
        };
        if books.disputes.is_empty() {
            continue;
        }
        let Ok(records) = accounting.records(&grant.grant_id, "").await else {
            continue;
        };
        let other = if grant.provider == own.org_id {
            &grant.consumer
        } else {
            &grant.provider
        };
        let partner = names.show(other);
        let id = short.show(&grant.grant_id);
        let what = match disputed(&records, books.agreed_size) {
            Some((micros, currency)) => {
                format!(
                    "{} {currency} of this is disputed with {partner}",
                    Money(micros)
                )
            }
            None => format!("not in this: records of {partner}'s that we dispute"),
        };
        hint(&format!("{what}; `opencloud usage books {id}` says why"));
    }
}

/// What the records charge that only their provider has signed, less what they stand in place of; none where all are
/// signed by both.
fn disputed(records: &[UsageRecord], agreed: u64) -> Option<(i64, &str)> {
    let charges = records
        .iter()
        .map(|it| (it.record_id.as_str(), it.charge_micros));
    let charges: BTreeMap<_, _> = charges.collect();
    let mut open = records.iter().filter(|it| it.position >= agreed).peekable();
    let currency = open.peek()?.currency.as_str();
    let corrected = |it: &UsageRecord| charges.get(it.corrects.as_str()).copied();
    let more = open.map(|it| it.charge_micros - corrected(it).unwrap_or_default());
    Some((more.sum(), currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disputed_correction_counts_what_it_adds() {
        let record = |position, id: &str, corrects: &str, charge_micros| UsageRecord {
            position,
            record_id: id.to_owned(),
            corrects: corrects.to_owned(),
            charge_micros,
            currency: "EUR".to_owned(),
            ..UsageRecord::default()
        };
        let records = [
            record(0, "att-1", "", 40),
            record(1, "att-2", "", 50),
            record(2, "att-1.1", "att-1", 140),
        ];
        assert_eq!(disputed(&records, 2), Some((100, "EUR")));
        assert_eq!(disputed(&records, 1), Some((150, "EUR")));
        assert_eq!(disputed(&records, 3), None);
    }
}
