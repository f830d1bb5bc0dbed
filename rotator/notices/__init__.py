"""Who is told what: found in the journal after each commit, written there, and sent from there."""
