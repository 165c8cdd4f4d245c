//! Acting: one run of the engine, and what came of it to the board, to the ledger and to the file of what is known.
