//! Stand-ins for providers: whole services on the loopback interface, with state, callbacks and bad days. Written from the vendors'
//! documentation alone; the vendors' own clients are their judges.

pub mod elevenlabs;
pub mod loopback;
pub mod scene;
pub mod clock;
pub mod http;
pub mod twilio;
pub mod world;
