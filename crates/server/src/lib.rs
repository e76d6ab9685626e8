//! The REST API, the dashboard and the metrics.
