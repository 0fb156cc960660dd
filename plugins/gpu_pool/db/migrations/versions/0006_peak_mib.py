"""The GPU pool: the most memory that a lease's holder was seen to use.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("updraft_gpu_lease", sa.Column("peak_mib", sa.BigInteger, nullable=True))


def downgrade() -> None:
    op.drop_column("updraft_gpu_lease", "peak_mib")
