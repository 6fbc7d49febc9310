"""more machines"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0006'
down_revision: str | None = '0005'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('submission', sa.Column('taken_until', sa.DateTime(timezone=True), nullable=True))
    op.add_column('account_state', sa.Column('free_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('account_state', 'free_at')
    op.drop_column('submission', 'taken_until')
