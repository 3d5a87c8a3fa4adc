//! Carriers by configuration: Twilio writes, and a simulated carrier calls until there is a contract with another one.

#![expect(clippy::print_stdout, reason = "a program talks to the person who runs it")]

use campaign_core::Result;
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::dialer::{CarrierProfile, Dialer, RoutedDialer, SimulatedDialer};
use campaign_core::outcome::Channel;

fn main() -> Result<()> {
    let config = TwilioConfig::new("AC0123456789abcdef0123456789abcdef", "the auth token")
        .from_number("+12025550100")
        .public_base_url("https://calls.example.org");
    let dialer = TwilioDialer::new(config)?;
    let voice = SimulatedDialer::new(CarrierProfile::default(), 7);
    let routed = RoutedDialer::new().route("voice", [Channel::Call], voice)?.route("text", [Channel::Sms, Channel::WhatsApp], dialer)?;
    println!("{routed:?} starts {:?} per second", routed.capabilities().calls_per_second);
    Ok(())
}
