"""What runs have found, kept so that nobody can change it unseen: a chain of hashes, and every verdict computed again from its evidence."""
