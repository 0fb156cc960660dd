"""The spec that each run is bound to.

Revision ID: 0002
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_run_spec",
        sa.Column("run_key", sa.String(320), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_updraft_run_spec_model", "updraft_run_spec", ["model"])


def downgrade() -> None:
    op.drop_table("updraft_run_spec")
