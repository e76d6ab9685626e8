//! Shapes of requests and answers, and a client.
