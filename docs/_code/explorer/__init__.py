"""The attention explorer of docs/play/attention.md: a small trained model, its scores and what its heads do."""
