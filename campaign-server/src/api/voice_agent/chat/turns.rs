//! When a person who speaks has said something: the end of a turn is a pause.

use std::time::Duration;

/// Samples a second.
const RATE: u64 = 16_000;
/// So long a pause ends a turn.
pub(super) const PAUSE: Duration = Duration::from_millis(1500);
/// Sound that is quieter than this (root mean square of 16 bits) is a pause.
const QUIET: f64 = 500.0;
/// The longest turn; what goes on is the next.
const LONGEST: usize = 60 * 2 * RATE as usize;

/// The turn of a person who speaks.
#[derive(Default)]
pub(super) struct Turn {
    sound: Vec<u8>,
    /// Whether anything but pauses was heard.
    spoken: bool,
    pause: Duration,
}

impl Turn {
    /// Takes more sound; gives the turn when it is over.
    pub(super) fn hear(&mut self, sound: &[u8]) -> Option<Vec<u8>> {
        let samples: Vec<f64> = sound.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
        if samples.is_empty() {
            return None;
        }
        let loud = (samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64).sqrt();
        if loud >= QUIET {
            self.spoken = true;
            self.pause = Duration::ZERO;
        } else {
            self.pause += Duration::from_micros(samples.len() as u64 * 1_000_000 / RATE);
            if !self.spoken {
                // A pause before the first word is no part of a turn.
                return None;
            }
        }
        self.sound.extend_from_slice(sound);
        if self.pause >= PAUSE || self.sound.len() >= LONGEST { self.end() } else { None }
    }

    /// Whether somebody is in the middle of a turn.
    pub(super) fn goes_on(&self) -> bool {
        self.spoken
    }

    /// Ends the turn: nothing more came.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        let turn = std::mem::take(self);
        turn.spoken.then_some(turn.sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(millis: usize, loud: i16) -> Vec<u8> {
        (0..millis * 16).flat_map(|n| if n % 2 == 0 { loud } else { -loud }.to_le_bytes()).collect()
    }

    #[test]
    fn a_pause_ends_a_turn() {
        let mut turn = Turn::default();
        assert!(turn.hear(&sound(5000, 10)).is_none() && !turn.goes_on());
        assert!(turn.hear(&sound(300, 4000)).is_none() && turn.goes_on());
        assert!(turn.hear(&sound(1000, 0)).is_none());
        assert!(turn.hear(&sound(200, 4000)).is_none());
        assert!(turn.hear(&sound(1400, 0)).is_none());
        let whole = turn.hear(&sound(100, 0)).unwrap();
        assert_eq!(whole.len(), 32 * (300 + 1000 + 200 + 1400 + 100));
        assert!(!turn.goes_on() && turn.end().is_none());
        // Nobody speaks for ever.
        assert!((0..120).any(|_| turn.hear(&sound(1000, 4000)).is_some()));
        assert!(turn.hear(&[]).is_none() && turn.hear(&[1]).is_none());
    }
}
