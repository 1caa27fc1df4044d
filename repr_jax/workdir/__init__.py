"""What the folder of a run holds beside checkpoints and logs, and who may write it.

`lock`: one run at a time. `records`: config.json and starts.jsonl. `fitted`: what an
estimator has fitted. `start`: parameters of another run. `contents`: leaves by name.
`checksums` and `reading`: how damage is told from an error that passes.
"""
