//! What was run, what is kept, who asked: in SQLite or PostgreSQL.
