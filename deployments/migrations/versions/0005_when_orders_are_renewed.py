"""when orders are renewed"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime
from models.policy import renewal_from

revision: str = '0005'
down_revision: str | None = '0004'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TOGETHER = 5000
ORDER = sa.table(
    'certificate_order', sa.column('id', sa.Uuid()), sa.column('live_name'), sa.column('served_until', UtcDateTime()),
    sa.column('renewal_from', UtcDateTime()),
)
CERTIFICATE = sa.table(
    'certificate', sa.column('id', sa.Uuid()), sa.column('order_id', sa.Uuid()), sa.column('not_before', UtcDateTime()),
    sa.column('not_after', UtcDateTime()), sa.column('delivered_at', UtcDateTime()), sa.column('removed_at', UtcDateTime()),
)


def upgrade() -> None:
    for name in ('served_until', 'renewal_from'):
        op.add_column('certificate_order', sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    fill(op.get_bind())
    for name, column in (('renewal', 'renewal_from'), ('served', 'served_until')):
        some = sa.text(f'{column} IS NOT NULL')
        op.create_index(
            f'ix_certificate_order_{name}', 'certificate_order', ['account', 'status', column], unique=False, sqlite_where=some,
            postgresql_where=some,
        )


def fill(connection: sa.Connection) -> None:
    """Of each live name the certificate that came last, unless it was taken out of the repository: that is the one which is served."""
    last = sa.func.row_number().over(
        partition_by=ORDER.c.live_name, order_by=(CERTIFICATE.c.delivered_at.desc(), CERTIFICATE.c.id)
    ).label('last')
    delivered = sa.select(ORDER.c.id, CERTIFICATE.c.not_before, CERTIFICATE.c.not_after, CERTIFICATE.c.removed_at, last).join(
        CERTIFICATE, CERTIFICATE.c.order_id == ORDER.c.id
    ).where(ORDER.c.live_name.is_not(None), CERTIFICATE.c.delivered_at.is_not(None)).subquery()
    served = sa.select(delivered.c.id, delivered.c.not_before, delivered.c.not_after).where(delivered.c.last == 1, delivered.c.removed_at.is_(None))
    write = sa.update(ORDER).where(ORDER.c.id == sa.bindparam('order_id')).values(
        served_until=sa.bindparam('until', type_=UtcDateTime()), renewal_from=sa.bindparam('since', type_=UtcDateTime()),
    )
    for some in connection.execute(served, execution_options={'yield_per': TOGETHER}).partitions(TOGETHER):
        connection.execute(write, [
            {'order_id': id_, 'until': not_after, 'since': renewal_from(id_, not_before, not_after)} for id_, not_before, not_after in some
        ])


def downgrade() -> None:
    for name in ('served', 'renewal'):
        op.drop_index(f'ix_certificate_order_{name}', table_name='certificate_order')
    for name in ('renewal_from', 'served_until'):
        op.drop_column('certificate_order', name)
