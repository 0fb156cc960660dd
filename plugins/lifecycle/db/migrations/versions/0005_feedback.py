"""What turned out to be right of models' answers.

Revision ID: 0005
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_feedback",
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("prediction", sa.String(64), nullable=False),
        sa.Column("label", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("author", sa.String(255), nullable=False),
    )
    op.create_index("ix_updraft_feedback_prediction", "updraft_feedback", ["model", "prediction"])


def downgrade() -> None:
    op.drop_table("updraft_feedback")
