"""The GPU pool: what leases took, as far as its price goes; of those that are kept already, too.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXTS = {"lease": ("id", "request_id"), "request": ("id", "key", "holder", "team"), "node": ("name", "source")}


def upgrade() -> None:
    table = op.create_table(
        "updraft_gpu_use",
        sa.Column("lease_id", sa.String(64), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("team", sa.String(64), nullable=False),
        sa.Column("gpu", sa.String(320), nullable=False),
        sa.Column("gpus", sa.Double, nullable=False),
        sa.Column("spot", sa.Boolean, nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=True),
    )
    op.create_index("ix_updraft_gpu_use_began_at", "updraft_gpu_use", ["began_at"])
    op.create_index("ix_updraft_gpu_use_ended_at", "updraft_gpu_use", ["ended_at"])
    if not context.is_offline_mode():
        _take_along(table)


def downgrade() -> None:
    op.drop_table("updraft_gpu_use")


def _take_along(table: sa.Table) -> None:
    """Of a node that is gone by now nobody knows whether it was simulated: it is taken to be real."""
    connection, known = op.get_bind(), sa.MetaData()
    texts = {name: [sa.Column(column, sa.String) for column in columns] for name, columns in TEXTS.items()}
    more = [sa.Column("grants", sa.JSON), sa.Column("granted_at", sa.Double), sa.Column("ended_at", sa.Double)]
    lease = sa.Table("updraft_gpu_lease", known, *texts["lease"], *more)
    request = sa.Table("updraft_gpu_request", known, *texts["request"])
    node = sa.Table("updraft_gpu_node", known, *texts["node"])
    simulated = {row.name for row in connection.execute(sa.select(node)) if row.source == "declared"}
    found = []
    joined = sa.select(lease, request.c.key, request.c.holder, request.c.team).join(request, request.c.id == lease.c.request_id)
    for row in connection.execute(joined):
        parts: dict[tuple[str, bool], float] = {}
        for grant in row.grants:
            kind = (grant["model"], grant["node"] in simulated)
            parts[kind] = parts.get(kind, 0.0) + len(grant["uuids"]) * grant["milli"] / 1000
        for part, ((gpu, sim), gpus) in enumerate(sorted(parts.items())):
            gpu, gpus = _of_a_whole(gpu, gpus)
            own = {"lease_id": row.id, "part": part, "key": row.key, "holder": row.holder, "team": row.team}
            times = {"began_at": row.granted_at, "ended_at": row.ended_at}
            found.append(own | times | {"gpu": gpu, "gpus": gpus, "spot": False, "simulated": sim})
    if found:
        connection.execute(table.insert(), found)


def _of_a_whole(title: str, gpus: float) -> tuple[str, float]:
    """A MIG instance by its compute slices of seven."""
    model, _, profile = title.rpartition(" ")
    slices = profile.partition("g.")[0]
    return (model, gpus * min(int(slices), 7) / 7) if model and "g." in profile and slices.isdigit() else (title, gpus)
