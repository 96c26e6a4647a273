"""The shapes of the rollout's requests and answers, and of workflow against legacy in numbers.

Way:      rollout_routes.py and the OpenAPI document → here
Rule 1:   as in schemas.py: a test holds them and core's ``to_json`` together.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bookline.api.schemas import Method


class RolloutReason(BaseModel):
    """Why, and who says so."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "all quiet", "actor": "ada"}]}
    )

    reason: str | None = Field(default=None, max_length=500)
    actor: str | None = Field(
        default=None, max_length=100, description="else the key or the address that asks"
    )


class RolloutChange(RolloutReason):
    """What shall be different; all else stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"percent": 10, "reason": "first stage"}]}
    )

    percent: int | None = Field(default=None, ge=0, le=100)
    salt: str | None = Field(default=None, min_length=1, max_length=200)
    killSwitch: bool | None = None
    automatic: bool | None = None
    users: dict[str, Method | None] | None = Field(
        default=None, description="testers: user id → method; null takes one off the list"
    )
    incident: str | None = Field(default=None, max_length=200, description="opens one")
    resolve: int | None = Field(default=None, description="the number of an incident that is over")


class Incident(BaseModel):
    """Something that keeps the rollout from advancing."""

    number: int
    at: str
    by: str
    text: str


class GateVerdict(BaseModel):
    """One gate, judged on the imports since the stage began."""

    gate: Literal["sample", "success", "p95", "lost", "doubled", "incidents"]
    passed: bool
    broken: bool
    value: float | None
    limit: float
    message: str


class RolloutPast(BaseModel):
    """One change."""

    number: int
    at: str
    by: str
    reason: str
    percent: int | None
    salt: str | None
    killSwitch: bool | None
    automatic: bool | None
    incidents: int


class Rollout(BaseModel):
    """What decides between workflow and legacy."""

    percent: int
    salt: str
    killSwitch: bool
    automatic: bool
    stage: Literal[0, 10, 50, 100]
    nextStage: Literal[10, 50, 100] | None
    hasLegacy: bool
    users: dict[str, Method]
    incidents: list[Incident]
    since: str | None
    updatedAt: str | None
    updatedBy: str | None
    reason: str | None
    open: dict[str, int]
    gates: list[GateVerdict]
    history: list[RolloutPast]


class Stage(BaseModel):
    """How long one step took, its retries included."""

    count: int
    p50Ms: int | None
    p95Ms: int | None


class MethodMetrics(BaseModel):
    """One method's finished imports; percentiles of those that ended with a book."""

    count: int
    success: int
    successRate: float | None
    failed: int
    byOutcome: dict[str, int]
    p50Ms: int | None
    p95Ms: int | None
    p99Ms: int | None
    quantilesMs: dict[str, int | None]
    stages: dict[str, Stage]
    tries: int
    byProvider: dict[str, int]


class Comparison(BaseModel):
    """Workflow to legacy: a ratio above 1 is slower, a difference below 0 fails more."""

    p95Ratio: float | None
    successDifference: float | None


class ImportMetrics(BaseModel):
    """Workflow against legacy."""

    window: str
    methods: dict[Method, MethodMetrics]
    comparison: Comparison
