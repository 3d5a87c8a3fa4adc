//! Speech into text and text into speech, for conversations with the assistant in a browser.

use campaign_core::{Result, async_trait};
use std::fmt;

/// What turns speech into text and back for `/ws/ai-chat`. The server brings none: a program that embeds it gives one in
/// [`crate::ServerOptions::speech`], and without one people write instead of speaking.
///
/// # Contract
///
/// **Once.** One call is one turn; nothing is remembered between calls.
///
/// **Cancellation.** The futures may be dropped at any moment: the person goes on speaking, or goes away.
#[async_trait]
pub trait Speech: Send + Sync + 'static {
    /// What was said. `sound` is PCM of 16 bits, little-endian, 16 kHz, one channel; `model` is what the client asked for. An empty text
    /// when nothing was said.
    ///
    /// # Errors
    /// When it cannot be recognised now.
    async fn transcribe(&self, sound: Vec<u8>, model: Option<&str>) -> Result<String>;

    /// A text as sound, in whatever form the clients of this server play; `voice` is what the client asked for.
    ///
    /// # Errors
    /// When it cannot be spoken now.
    async fn speak(&self, text: &str, voice: Option<&str>) -> Result<Vec<u8>>;
}

impl fmt::Debug for dyn Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Speech")
    }
}
