//! Stand-ins for providers: whole services on the loopback interface, with state, callbacks and bad days. Written from the vendors'
//! documentation alone; the vendors' own clients are their judges.

pub mod clock;
pub mod elevenlabs;
pub mod http;
pub mod loopback;
pub mod scene;
pub mod twilio;
pub mod world;
