"""Asking a frozen Qwen3-VL: checkpoints, prompts in, descriptions with token states out."""
