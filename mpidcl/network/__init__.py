"""How agents are connected: topology, timetable, frames, ledger, and the drivers that move frames."""
