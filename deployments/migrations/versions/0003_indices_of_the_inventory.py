"""indices of the inventory"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0003'
down_revision: str | None = '0002'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

WAITS, HELD = sa.text('waiting_because IS NOT NULL'), sa.text('held_because IS NOT NULL')


def upgrade() -> None:
    op.create_index('ix_certificate_order_counts', 'certificate_order', ['account', 'status', 'organization_id', 'deleted_at'], unique=False)
    op.create_index('ix_certificate_order_ends', 'certificate_order', ['account', 'status', 'expires_at'], unique=False)
    op.create_index(
        'ix_certificate_order_waiting', 'certificate_order', ['account', 'status'], unique=False, sqlite_where=WAITS, postgresql_where=WAITS,
    )
    op.create_index('ix_certificate_held', 'certificate', ['order_id'], unique=False, sqlite_where=HELD, postgresql_where=HELD)
    # Both begin with the columns of these.
    op.drop_index('ix_certificate_order_account_status', table_name='certificate_order')
    op.drop_index('ix_certificate_order_expires_at', table_name='certificate_order')


def downgrade() -> None:
    op.create_index('ix_certificate_order_expires_at', 'certificate_order', ['expires_at'], unique=False)
    op.create_index('ix_certificate_order_account_status', 'certificate_order', ['account', 'status'], unique=False)
    op.drop_index('ix_certificate_held', table_name='certificate')
    for name in ('waiting', 'ends', 'counts'):
        op.drop_index(f'ix_certificate_order_{name}', table_name='certificate_order')
