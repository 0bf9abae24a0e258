"""The parameters that Stripe takes on each of its routes, as space-separated names."""

PAGE = "created limit starting_after ending_before"
# Names from stripe-python 16.1.0's parameter types, and the older ones that the API still takes
# (stripe-mock does).
CUSTOMER = (
    "address balance business_name cash_balance description email individual_name invoice_prefix "
    "invoice_settings metadata name next_invoice_sequence phone preferred_locales shipping source "
    "tax tax_exempt validate"
)
INTENT = (
    "allowed_payment_method_types amount amount_details application_fee_amount capture_method "
    "currency customer customer_account description excluded_payment_method_types hooks metadata "
    "payment_details payment_method payment_method_configuration payment_method_data "
    "payment_method_options payment_method_types receipt_email setup_future_usage shipping "
    "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
)
INTENT_CONFIRM = (
    "allowed_payment_method_types amount_details amount_to_confirm capture_method "
    "confirmation_token error_on_requires_action excluded_payment_method_types hooks mandate "
    "mandate_data off_session payment_details payment_method payment_method_data "
    "payment_method_options payment_method_types radar_options receipt_email return_url "
    "setup_future_usage shipping use_stripe_sdk"
)
SETUP = (
    "allowed_payment_method_types attach_to_self automatic_payment_methods confirm "
    "confirmation_token customer customer_account description excluded_payment_method_types "
    "flow_directions mandate_data metadata on_behalf_of payment_method "
    "payment_method_configuration payment_method_data payment_method_options payment_method_types "
    "return_url single_use usage use_stripe_sdk"
)
SETUP_CONFIRM = (
    "allowed_payment_method_types confirmation_token mandate_data payment_method "
    "payment_method_data payment_method_options return_url use_stripe_sdk"
)
SESSION = (
    "adaptive_pricing after_expiration allow_promotion_codes allowed_payment_method_types "
    "automatic_tax billing_address_collection branding_settings cancel_url client_reference_id "
    "consent_collection currency custom_fields custom_text customer customer_account "
    "customer_creation customer_email customer_update discounts excluded_payment_method_types "
    "expires_at integration_identifier invoice_creation line_items locale managed_payments "
    "metadata mode name_collection optional_items origin_context payment_intent_data "
    "payment_method_collection payment_method_configuration payment_method_data "
    "payment_method_options payment_method_types permissions phone_number_collection "
    "redirect_on_completion return_url saved_payment_method_options setup_intent_data "
    "shipping_address_collection shipping_options submit_type subscription_data success_url "
    "tax_id_collection ui_mode wallet_options"
)
REFUND = (
    "amount charge currency customer instructions_email metadata origin payment_intent reason "
    "refund_application_fee reverse_transfer"
)
LINK = (
    "after_completion allow_promotion_codes application_fee_amount automatic_tax "
    "billing_address_collection consent_collection custom_fields custom_text customer_creation "
    "inactive_message invoice_creation line_items metadata payment_intent_data "
    "payment_method_collection payment_method_options payment_method_types "
    "phone_number_collection restrictions shipping_address_collection shipping_options "
    "submit_type tax_id_collection transfer_data"
)
MICRODEPOSITS = "amounts client_secret descriptor_code"
