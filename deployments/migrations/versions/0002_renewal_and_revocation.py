"""renewal and revocation"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0002'
down_revision: str | None = '0001'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        'compromised_key',
        sa.Column('public_key_sha256', sa.String(), nullable=False),
        sa.Column('reported_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('reported_by', sa.String(), nullable=False),
        sa.Column('reason', sa.String(), nullable=False),
        sa.PrimaryKeyConstraint('public_key_sha256'),
    )
    op.create_table(
        'revocation',
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.Column('account', sa.String(), nullable=False),
        sa.Column('order_id', sa.Uuid(), nullable=False),
        sa.Column('serial_number', sa.String(), nullable=True),
        sa.Column('reason_code', sa.Integer(), nullable=False),
        sa.Column('reason', sa.String(), nullable=False),
        sa.Column('remove', sa.Boolean(), nullable=False),
        sa.Column('successor_id', sa.Uuid(), nullable=True),
        sa.Column('after_days', sa.Integer(), nullable=True),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('status', sa.String(), nullable=False),
        sa.Column('requested_by', sa.String(), nullable=False),
        sa.Column('error', sa.String(), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('done_at', sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(['order_id'], ['certificate_order.id']),
        sa.ForeignKeyConstraint(['successor_id'], ['certificate_order.id']),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index('ix_revocation_order_id', 'revocation', ['order_id'], unique=False)
    op.create_index('ix_revocation_status', 'revocation', ['status'], unique=False)
    # Defaults for the rows that are there; the program gives every value itself.
    op.add_column('order_event', sa.Column('started_by', sa.String(), nullable=False, server_default=''))
    names = sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')
    op.add_column('submission', sa.Column('names', names, nullable=False, server_default='[]'))
    op.add_column('submission', sa.Column('reuse_of', sa.Uuid(), nullable=True))
    op.add_column('submission', sa.Column('known_serial_number', sa.String(), nullable=True))
    op.add_column('submission', sa.Column('known_replaced_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('submission', sa.Column('marked_renewed_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in ('marked_renewed_at', 'known_replaced_at', 'known_serial_number', 'reuse_of', 'names'):
        op.drop_column('submission', column)
    op.drop_column('order_event', 'started_by')
    op.drop_table('revocation')
    op.drop_table('compromised_key')
