"""The Worker that waits a moment, not a minute, for a store that is away."""

import bookline.patience

bookline.patience.STORE_SECONDS = 0.5

from entry import (
    BatchDO,
    BookImportWorkflow,
    CallerLimitsDO,
    Default,
    JobStateManagerDO,
    WebSocketConnectionDO,
)  # fmt: skip

__all__ = [
    "BatchDO", "BookImportWorkflow", "CallerLimitsDO", "Default", "JobStateManagerDO",
    "WebSocketConnectionDO",
]  # fmt: skip
