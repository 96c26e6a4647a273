"""The hand-written importer that the workflow replaces. Delete this folder when nobody needs it."""

from bookline.migration.legacy.job_state_manager import JobStateManager
from bookline.migration.legacy.message_passer import MessagePasser
from bookline.migration.legacy.state_machine import StateMachine

__all__ = ["JobStateManager", "MessagePasser", "StateMachine"]
