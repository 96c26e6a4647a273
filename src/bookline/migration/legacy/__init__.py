"""The hand-written importer that the workflow replaces. Delete this folder when nobody needs it."""

from bookline.migration.legacy.job_state_manager import JobStateManager
from bookline.migration.legacy.message_passer import MessagePasser
from bookline.migration.legacy.state_machine import StateMachine
from bookline.migration.legacy.state_table import MIGRATIONS

__all__ = ["MIGRATIONS", "JobStateManager", "MessagePasser", "StateMachine"]
