//! The routes over a seeded data set.
