"""What an agent does with its time, and the words for it."""

PARTS = {
    "start_s": "starting",
    "learn_s": "learning",
    "evaluate_s": "evaluating",
    "meet_s": "meeting",
    "wait_s": "waiting",
    "checkpoint_s": "checkpoints",
    "other_s": "other",
}
