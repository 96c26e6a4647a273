"""The Worker that waits a moment, not a minute, for a store that is away."""

import bookline.patience

bookline.patience.STORE_SECONDS = 0.5

from entry import BookImportWorkflow, Default, JobStateManagerDO, WebSocketConnectionDO

__all__ = ["BookImportWorkflow", "Default", "JobStateManagerDO", "WebSocketConnectionDO"]
