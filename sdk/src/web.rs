//! The skin: DOM events in, requests out. The rules are in the modules beside this one.
//!
//! No cell is borrowed across a call into JavaScript, since the app's handlers may call back into the client.

mod ad_break;
mod answer;
mod client;
mod courier;
mod error;
mod events;
mod http;
mod object;
mod page;
mod playback;
mod signal;
mod stage;
mod watch;
