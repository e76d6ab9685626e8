//! Reads an exported disk from end to end, and tells how fast: `read ADDRESS [WINDOW BYTES]`.

use std::error::Error;
use std::time::Instant;

use lifeboat_model::Extent;
use lifeboat_nbd::{Client, ClientOptions, Order};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = words.first().ok_or("which address?")?.parse()?;
    let mut options = ClientOptions::default();
    if let [_, window, bytes] = words.as_slice() {
        options.window = window.parse()?;
        options.request_bytes = bytes.parse()?;
    }
    let client = Client::connect(&address, options)?;
    let began = Instant::now();
    let mut bytes = 0;
    for piece in client.reads(Extent::new(0, client.size()), Order::Arrival) {
        bytes += piece?.len() as u64;
    }
    let seconds = began.elapsed().as_secs_f64();
    let speed = bytes as f64 / seconds / f64::from(1 << 20);
    println!("{bytes} bytes, {speed:.0} MiB/s");
    Ok(())
}
