"""digests of reported orders"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '0004'
down_revision: str | None = '0003'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('certificate_order', sa.Column('report_digest', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('certificate_order', 'report_digest')
