-- When the shop stops offering an item, in milliseconds since 1970; the item as JSON says the same.
ALTER TABLE items ADD COLUMN available_until BIGINT;
