"""The task queue: adding, claiming, completing, recovering."""
