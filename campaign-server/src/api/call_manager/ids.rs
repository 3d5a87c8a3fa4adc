//! Ids of batches: `btcal_`, then 17 random characters that nobody guesses and 11 that hold the campaign's number, so that no table has to
//! be kept that could fall out of step.

use campaign_core::{Error, Kind, Result};
use ring::rand::SecureRandom;

const PREFIX: &str = "btcal_";
/// Digits and letters without those that are taken for others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM: usize = 17;
const NUMBER: usize = 11;

/// The random part of a new id.
///
/// # Errors
/// When the system gives no random numbers.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; RANDOM];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Internal, "the system gives no random numbers, so no batch can be named"))?;
    Ok(bytes.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect())
}

/// The id of a batch.
pub(super) fn external(random: &str, campaign: i64) -> String {
    let mut rest = campaign.unsigned_abs();
    let mut number = [DIGITS[0]; NUMBER];
    for digit in number.iter_mut().rev() {
        *digit = DIGITS[(rest % 32) as usize];
        rest /= 32;
    }
    let number: String = number.iter().copied().map(char::from).collect();
    format!("{PREFIX}{random}{number}")
}

/// The campaign's number that an id holds. Whether the random part is right has still to be seen.
pub(super) fn campaign(id: &str) -> Option<i64> {
    let rest = id.strip_prefix(PREFIX).filter(|rest| rest.len() == RANDOM + NUMBER && rest.is_ascii())?;
    rest[RANDOM..].bytes().try_fold(0_i64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        number.checked_mul(32)?.checked_add(i64::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_the_campaigns_number() {
        for number in [1, 31, 32, 12_345, (1 << 53) - 1] {
            let id = external(&random().unwrap(), number);
            assert_eq!((id.len(), campaign(&id)), (PREFIX.len() + 28, Some(number)));
        }
        for wrong in
            ["", "btcal_", "btcal_7601k6qjf6dgecgbc9hkq9gtw97", "bt_7601k6qjf6dgecgbc9hkq9gtw977", "btcal_7601k6qjf6dgecgbc9hkq9gtu!!!"]
        {
            assert_eq!(campaign(wrong), None, "{wrong}");
        }
    }
}
